"""What a network is: its description, and what can be known of it before it is built."""
