"""How well a bundle recognises, measured through the same engine that serves. No torch here."""
