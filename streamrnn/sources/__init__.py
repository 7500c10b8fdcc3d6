"""Where samples come from: each source yields what  names."""
