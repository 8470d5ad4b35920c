"""The large branch on a shared server: h_l comes from vLLM's `/v1/embeddings`, without torch."""
