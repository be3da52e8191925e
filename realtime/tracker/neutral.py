# SPDX-License-Identifier: MIT
"""The driver's rest while it is measured: which one holds, and how one gives way to another."""

from face.arrays import Floats
from face.calibration import FIRST_SIGHT_S, ON_DEMAND_S, NeutralEstimate, same_face, why_no_rest
from face.motion_vector import CENTRE, LOG_SCALE, SIZE, resting_vector
from face.spring import Spring
from realtime.tracker.neutrals import KeptNeutral

FOUND_S = 0.3  # to ease from idling to the face that was found
NEUTRAL_S = 0.6  # to ease to another neutral
KNOWN_AFTER = 10  # frames of a face say whether a kept rest is its own


class Neutral:
    """The driver's rest, from the first sight of a face on; it glides whenever it changes."""

    def __init__(self, kept: KeptNeutral | None) -> None:
        self._kept = kept
        self._value = resting_vector() if kept is None else kept.vector
        self._target: Floats | None = None
        self._arrival = Spring(SIZE)  # in step with the face that arrives, so that the portrait does not stir
        self._drift = Spring(SIZE)  # of a face that is there
        self.version = 0  # rises with every change of the value
        self.news = ""  # one line for the user
        self._measure()

    def _measure(self) -> None:
        """Begin as at the start."""
        self._estimate: NeutralEstimate | None = NeutralEstimate(FIRST_SIGHT_S)
        self._seat_only = self._kept is not None and self._kept.chosen  # only where it sits is not known
        self._asked = self._refused = False
        self._fresh = True  # the estimate has seen nothing yet
        self._first: list[Floats] = []  # sights of the face, until they say whether the kept rest is its own

    def __call__(self, dt_s: float) -> Floats:
        """The neutral `dt_s` later."""
        if self._target is not None and not (self._arrival.settled and self._drift.settled):
            self._value = self._target + self._arrival(dt_s) + self._drift(dt_s)
            self.version += 1
        return self._value

    def ask(self) -> None:
        """The next ON_DEMAND_S of the face are its rest."""
        self._estimate, self._seat_only, self._asked = NeutralEstimate(ON_DEMAND_S), False, True
        self._fresh = self._refused = False

    def adopt(self, vector: Floats) -> KeptNeutral:
        """This instant is the rest."""
        self._estimate, self._fresh = None, False
        self._lead_to(vector)
        self._kept = KeptNeutral(vector, chosen=True)
        return self._kept

    def start_anew(self, *, same_person: bool) -> None:
        """Measure as at the start. Of the same person, a rest that was asked for stays, all but its place."""
        if not same_person:
            self._kept = None
        self._measure()

    def see(self, vector: Floats, dt_s: float) -> KeptNeutral | None:
        """One more tracked instant. Returns the rest at the moment it is measured anew, else None."""
        self._recognise(vector)
        if self._estimate is None:
            return None
        self._estimate.add(vector, dt_s)
        done = self._estimate.done
        if (self._asked or self._refused) and not done and self._target is not None:
            return None  # what holds now stays until the new rest is known
        found = self._estimate()
        if done and not self._seat_only and (reason := why_no_rest(found)):
            self._refuse(reason)
            if self._target is not None:
                return None
        if self._kept is not None and (self._seat_only or not done):
            seen, found = found, self._kept.vector.copy()
            found[CENTRE], found[LOG_SCALE] = seen[CENTRE], seen[LOG_SCALE]
        self._lead_to(found)
        if not done or self._refused:
            return None
        if self._asked:
            self.news = "calibrated: this is your face at rest"
        self._estimate = None
        self._kept = KeptNeutral(found, self._asked or self._seat_only)
        return None if self._seat_only else self._kept

    def arrive(self) -> None:
        """Be where the glide leads, at once."""
        if self._target is not None:
            self._arrival.stop()
            self._drift.stop()
            self._value = self._target
            self.version += 1

    def _lead_to(self, found: Floats) -> None:
        jump = (self._value if self._target is None else self._target) - found
        if self._fresh or self._target is None:
            self._arrival.jump(jump, FOUND_S)
        else:
            self._drift.jump(jump, NEUTRAL_S)
        self._target, self._fresh = found, False

    def _refuse(self, reason: str) -> None:
        """The rest that holds stays; what nobody asked for is measured again until it is one."""
        again = "press X again" if self._asked else "close your lips and look at the camera for a second"
        if self._asked or not self._refused:
            self.news = f"this is no rest: {reason}; {again}"
        self._estimate = None if self._asked else NeutralEstimate(FIRST_SIGHT_S)
        self._refused = not self._asked

    def _recognise(self, vector: Floats) -> None:
        """Drop a kept rest that is not of the face in view."""
        if self._kept is None or len(self._first) >= KNOWN_AFTER or self._asked:
            return
        self._first.append(vector)
        if len(self._first) == KNOWN_AFTER and not same_face(self._kept.vector, self._first):
            self._kept = None
            self._measure()
            self._fresh = False
            self.news = "another face than the rest that was kept: a new one is taken"
