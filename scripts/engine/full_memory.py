"""Which errors say that the memory is full; known without torch, so that every command can ask."""

OF_TORCH = "OutOfMemoryError"  # the name of its class
# what torch says where it does not raise that
FULL = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
FULL_OF_ONEDNN = "could not create a primitive"  # the whole of what it says on a CPU


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that the memory of the device or of the host is full."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    if any(kind.__name__ == OF_TORCH for kind in type(error).__mro__):
        return True
    text = str(error)
    return text == FULL_OF_ONEDNN or any(words in text for words in FULL)
