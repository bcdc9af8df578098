"""Other people's engines, each as its users have it."""
