"""The scheduler's knowledge of each member: profile, state, health, offers and spending."""
