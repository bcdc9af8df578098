"""What a whole network can do beside learning: predict for services, choose its forms."""
