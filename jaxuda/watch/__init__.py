"""A web page that shows runs during training and refreshes itself."""
