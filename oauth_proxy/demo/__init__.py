"""The demo's cast, and the tests': an emulated Frame.io and a small tool, which know the proxy by HTTP alone."""
