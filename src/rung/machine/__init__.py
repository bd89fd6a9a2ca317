"""What this machine can do: its hardware, the ladder that suits it, what could leave it, and its tiers put to the test.

Commands and apps ask here, and get values; nothing in this room prints:

    from rung.machine.choosing import choose, measure
    from rung.store import models, user_store
    from rung.store.ladders import ladders

    choice = choose(measure(), models(), ladders(user_store().catalogue))
    print([it.model.name for it in choice.models], choice.reason)

`checkup.check` looks at everything, `leaving.leaving` at the ways out, and `trial.tried` at one tier.
"""
