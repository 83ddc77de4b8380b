"""What a verdict shows beside its measurements, read out of evidence."""
