"""The embedded Triton server: started, found again, watched over and stopped."""
