"""How the gate becomes the server."""
