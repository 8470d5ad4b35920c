"""Where events go beside store and sockets: files, and what other packages bring."""
