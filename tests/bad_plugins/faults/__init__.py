"""What stands behind the bad plugins: implementations that are right but for one thing each."""
