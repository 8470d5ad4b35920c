"""Diffusion contrastive reconstruction: makes a CLIP image tower see detail (arXiv 2603.04803).

A frozen diffusion model must denoise an image from the tower's class token alone. The prediction
made with the own token is pulled to the truth and away from those made with other images' tokens.
Stage 1 fits a projector from token to diffusion condition, stage 2 the tower itself through LoRA.
"""
