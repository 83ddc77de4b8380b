"""The KD loss, in tiles, with its gradients written out.

kd_loss.py states it (weights, temperature T, units); inputs.py checks, teacher_forms.py reads the teacher as logits,
hidden states or top-k, kernel.py computes value and slope by divergences.py, head.py multiplies.
"""
