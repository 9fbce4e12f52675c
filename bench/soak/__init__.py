"""Campaigns created, dialed to their end and cleaned up, thousands of them: does anything grow?"""
