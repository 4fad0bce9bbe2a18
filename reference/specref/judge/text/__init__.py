"""Scenarios x relations: every question about a text is asked in every surrounding.

scenario   a few calls of one engine, as data and in words
axes       what surrounds a request, crossed pairwise
build      from one choice of all axes to a scenario
oracle     the distributions that a request's tokens come from
answers    the answers of a scenario, read against the oracle
home       what of an engine's ways was found out in the simplest surrounding
relations  what must hold of the answers
shrink     the smallest scenario in which a relation still fails
hunt       scenario after scenario, until a relation fails or all were seen
"""
