"""The data path: forwards requests and WebSockets to the tools, and the tools' responses to the clients."""
