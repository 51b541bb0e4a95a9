"""The data path: how requests and WebSockets get to the tools, and the tools' answers to the visitors."""
