"""The executable specification, over fractions.Fraction: what proofs/coq proves and what reference/
must equal.

    program   Ret, Draw, bind, E, law           step    one token, several candidates
    text      harmonic, sound, loop             chain   rejection, greedy, block, matching,
    target-only tree      trees, drawn as needed or before  lossy   rules that are wrong
    speed     the speed model                   cases   what the claims are run on (python -m
        proofs.exact)
    claims, counterexamples: one function a claim; mutate: break a definition, see which claim
        notices
"""
