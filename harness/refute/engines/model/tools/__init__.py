"""What people ask of a model that lies on their disk, over Hugging Face folders and GGUF files: `refute model …`."""
