"""Names of causes, as telephone systems write them, and the Q.850 or SIP cause each of them means.

Names of Q.850 causes are those of FreeSWITCH (https://developer.signalwire.com/freeswitch, hangup causes) and the texts
of Asterisk (`ast_causes`); reason phrases of SIP are those of RFC 3261. A name is compared in lower case, with one `_`
for everything that is no letter or digit.
"""

from __future__ import annotations

import re
from typing import Final

_Q850: Final = {
    1: "unallocated_number unallocated_unassigned_number",
    2: "no_route_transit_net no_route_to_specified_transit_network",
    3: "no_route_destination no_route_to_destination",
    6: "channel_unacceptable",
    16: "normal_clearing normal_call_clearing",
    17: "user_busy",
    18: "no_user_response no_user_responding",
    19: "no_answer_from_user user_alerting_no_answer no_pickup progress_timeout",
    20: "subscriber_absent user_not_registered",
    21: "call_rejected",
    22: "number_changed number_changed_to",
    23: "redirection_to_new_destination redirected_to_new_destination",
    25: "exchange_routing_error",
    27: "destination_out_of_order",
    28: "invalid_number_format",
    29: "facility_rejected facility_reject",
    30: "response_to_status_enquiry",
    31: "normal_unspecified",
    34: "normal_circuit_congestion circuit_channel_congestion",
    38: "network_out_of_order gateway_down",
    41: "normal_temporary_failure temporary_failure",
    42: "switch_congestion switching_equipment_congestion",
    43: "access_info_discarded access_information_discarded",
    44: "requested_chan_unavail requested_channel_not_available",
    45: "pre_empted preempted",
    50: "facility_not_subscribed",
    52: "outgoing_call_barred",
    54: "incoming_call_barred",
    57: "bearercapability_notauth bearer_capability_not_authorized",
    58: "bearercapability_notavail bearer_capability_not_available",
    65: "bearercapability_notimpl bearer_capability_not_implemented",
    66: "chan_not_implemented channel_not_implemented",
    69: "facility_not_implemented",
    79: "service_not_implemented",
    81: "invalid_call_reference",
    88: "incompatible_destination",
    95: "invalid_msg_unspecified",
    96: "mandatory_ie_missing",
    97: "message_type_nonexist",
    98: "wrong_message",
    99: "ie_nonexist",
    100: "invalid_ie_contents",
    101: "wrong_call_state",
    102: "recovery_on_timer_expire recover_on_timer_expiry",
    103: "mandatory_ie_length_error",
    111: "protocol_error protocol_error_unspecified",
    127: "interworking interworking_unspecified",
}
_SIP: Final = {
    403: "forbidden",
    404: "not_found",
    408: "request_timeout",
    410: "gone",
    480: "temporarily_unavailable",
    484: "address_incomplete",
    485: "ambiguous",
    486: "busy_here",
    487: "originator_cancel request_terminated",
    488: "not_acceptable_here",
    500: "server_internal_error internal_server_error",
    502: "bad_gateway",
    503: "service_unavailable",
    504: "server_time_out gateway_time_out",
    600: "busy_everywhere",
    603: "decline declined",
    604: "does_not_exist_anywhere",
    606: "not_acceptable",
}
CAUSE_OF_WORD: Final = {
    **{word: f"q850:{code}" for code, words in _Q850.items() for word in words.split()},
    **{word: f"sip:{code}" for code, words in _SIP.items() for word in words.split()},
}


def word_of(raw: str) -> str:
    """The text as this table and the table of dispositions have it: `No-Answer` is `no_answer`."""
    return re.sub(r"[\W_]+", "_", raw.strip().lower()).strip("_")


NAMES: Final = {cause: word.replace("_", " ") for word, cause in reversed(CAUSE_OF_WORD.items())}
"""What a cause is called: `q850:17` is `user busy`."""
