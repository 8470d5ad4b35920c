"""Image towers: one frame to one vector. `registry.build_frame_encoder` makes them from a card."""
