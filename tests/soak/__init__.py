"""Uses everything again and again in one process, whose memory and files must stay as they are."""
