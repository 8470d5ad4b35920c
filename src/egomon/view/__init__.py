"""Views in a terminal: a dashboard, or one line for each event. They read messages only."""
