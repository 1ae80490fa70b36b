"""The parts of fine-tuning: its options, its objective, its gates."""
