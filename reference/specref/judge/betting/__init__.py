"""One test by betting for everything that an engine draws: texts of known distributions, from any
call.

    surroundings  where a token stands, as contexts: model, parameters, batch, place, prefix
    text_bet      the test, fed call by call
    telling       what it saw, as a sentence and a picture
    reach         what it would have seen, by class of fault
    calls         the calls that are made for it
"""
