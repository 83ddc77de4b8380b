"""Knowledge distillation: data, teachers, the KD loss and its certificate, training."""
