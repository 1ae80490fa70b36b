"""The parts of fine-tuning: its options, what learns, what it is asked for, what it must not lose."""
