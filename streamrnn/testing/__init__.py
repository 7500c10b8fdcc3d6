"""The law as functions that anyone can call on a step, decoder, source or stage of their own."""
