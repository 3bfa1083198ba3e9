"""The command line: it shows, saves and exits; what it shows is computed elsewhere."""
