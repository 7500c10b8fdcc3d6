"""streamrnn: a small recurrent network that recognises words, sounds or machine states on live streams."""
