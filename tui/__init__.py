"""The terminal front end: the app and the command line."""
