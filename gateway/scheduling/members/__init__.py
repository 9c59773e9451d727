"""What is known of each member: its profile, state, health, offers and spending."""
