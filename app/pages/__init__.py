"""Pages: the same JSON the API answers with, as HTML and a figure. Works without JavaScript; live with it."""
