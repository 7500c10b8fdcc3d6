"""Speech from text: phrases in many voices, phrases that sound like them, and talk that holds neither."""
