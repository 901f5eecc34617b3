"""Every fault that the server must survive, against a whole server over real sockets."""
