"""Sinks: receivers of events beside store and sockets, such as files and plug-ins."""
