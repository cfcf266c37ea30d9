"""The way to the gateway: sockets, HTTP, WebSocket, and the link that keeps them."""
