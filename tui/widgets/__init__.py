"""The panes of the app, one module each; all draw lines through :mod:`tui.widgets.pane`."""
