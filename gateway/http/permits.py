"""The permit of a request beside its scope, so that whoever answers, with audio or an error, can tell what is left."""

from typing import cast

from litestar.types import HTTPScope, Scope

from gateway.limits.permit import FREE, Permit

_KEY = "voxgate_permit"


def keep_permit(scope: HTTPScope | Scope, permit: Permit) -> None:
    """Remember the permit of the request with this scope."""
    scope["state"][_KEY] = permit


def permit_of(scope: HTTPScope | Scope) -> Permit:
    """What was remembered; FREE where nobody asked for one."""
    return cast(Permit, scope["state"].get(_KEY, FREE))
