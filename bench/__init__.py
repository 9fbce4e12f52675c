"""Programs that attack and measure the dialer; nothing of the product imports them."""
