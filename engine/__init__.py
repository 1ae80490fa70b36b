"""What every command shares: flags, files, devices, checkpoints and run logs."""
