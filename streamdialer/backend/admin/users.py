"""Users: a name, a password and a role. An administrator cannot make anything stronger than a role."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import Group, User
from django.utils.translation import gettext_lazy as _


class RoleUserAdmin(UserAdmin):
    list_display = ("username", "first_name", "last_name", "roles", "is_active", "last_login")
    list_filter = ("groups", "is_active")
    fieldsets = (
        (None, {"fields": ("username", "password", "groups", "is_active")}),
        (_("Personal info"), {"fields": ("first_name", "last_name", "email")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "usable_password", "password1", "password2", "groups")}),)
    filter_horizontal = ()

    @admin.display(description=_("roles"))
    def roles(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())


admin.site.login_form = AuthenticationForm  # the admin's own asks for staff; here a role is enough
admin.site.unregister(User)
admin.site.unregister(Group)
admin.site.register(User, RoleUserAdmin)
