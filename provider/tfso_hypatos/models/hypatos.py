"""What is sent to Hypatos' enrichment of sales orders, and what comes back.

Members, patterns and codes are those of https://hypatos.redocly.app/openapi/enrichment/patchsalesorder (2.51.0); each
class names the operation whose page it rests on.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tfso_hypatos.models.base import Amount, Day, Given, LooseDay, Maybe, Read, Sent, Text

_CURRENCIES = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP
LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN
PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS
TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD
XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWL
"""

CURRENCIES = frozenset(_CURRENCIES.split())
"""The codes the API takes: ISO 4217 with some withdrawn ones, and without the newest (XCG, ZWG)."""

_LANGUAGES = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el
en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu
ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na
nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so
sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""

LANGUAGES = frozenset(_LANGUAGES.split())
"""The codes the API takes: ISO 639-1 in lower case, and the withdrawn bh."""


def _to_currency(value: str) -> str:
    if value not in CURRENCIES:
        raise PydanticCustomError("currency", "a currency code that the API lists is needed, such as NOK")
    return value


def _to_language(value: str) -> str:
    if value not in LANGUAGES:
        raise PydanticCustomError("language", "a language code that the API lists is needed, such as nb, in lower case")
    return value


def _is_json(value: object) -> bool:
    match value:
        case None | bool() | int() | str():
            return True
        case float():
            return math.isfinite(value)
        case Decimal():
            return value.is_finite()
        case list() | tuple():
            return all(map(_is_json, value))
        case dict():
            return all(isinstance(key, str) and _is_json(member) for key, member in value.items())
    return False


def _to_json_object(value: dict[str, Any]) -> dict[str, Any]:
    if not _is_json(value):
        raise PydanticCustomError(
            "json", "only what JSON can hold: text, finite numbers, booleans, null, lists, objects"
        )
    return value


Key = Annotated[Text, Field(pattern=r"^\S+$")]
"""A key: text without white space."""

DocumentId = Annotated[Text, Field(pattern=r"^[0-9a-fA-F]{24}$")]
"""The id of a Hypatos document."""

CurrencyCode = Annotated[str, AfterValidator(_to_currency)]
"""One of :data:`CURRENCIES`."""

LanguageCode = Annotated[str, AfterValidator(_to_language)]
"""One of :data:`LANGUAGES`."""

Metadata = Annotated[dict[str, Any], AfterValidator(_to_json_object)]
"""Any JSON object, kept as it is."""


class DocumentRef(Sent):
    """A Hypatos document that belongs to the order (API: PATCH /enrichment/sales-orders/{externalId})."""

    id: Given[DocumentId] = None
    type: Given[Key] = None


class LanguagedText(Sent):
    """A text in a language (API: PATCH /enrichment/sales-orders/{externalId})."""

    text: Given[Text] = None
    language: LanguageCode | None = None


class PaymentTerms(Sent):
    """The payment terms of the order (API: PATCH /enrichment/sales-orders/{externalId})."""

    payment_term_key: Given[Text] = Field(default=None, description="key in the ERP")
    descriptions: Given[list[LanguagedText]] = None


class PaymentTermsChange(Sent):
    """A change of the payment terms, null removes a member (API: PATCH /enrichment/sales-orders/{externalId})."""

    payment_term_key: Text | None = None
    descriptions: list[LanguagedText] | None = Field(default=None, description="replaced as a whole")


class TaxCode(Sent):
    """The tax code of a line (API: PATCH /enrichment/sales-orders/{externalId})."""

    code: Given[Text] = Field(default=None, description="key in the ERP")
    description: Given[Text] = None


class EnrichmentLine(Sent):
    """One line; a patch replaces all lines at once (API: PATCH /enrichment/sales-orders/{externalId})."""

    planned_delivery_date: Given[Day] = None
    order_line_number: Given[Text] = Field(default=None, description="the line's key in the ERP")
    external_company_id: Given[Text] = None
    external_product_id: Given[Text] = None
    quantity: Given[Amount] = None
    unit_of_measure: Given[Text] = None
    unit_price: Given[Amount] = None
    net_amount: Given[Amount] = Field(default=None, description="before tax")
    total_tax_amount: Given[Amount] = None
    gross_amount: Given[Amount] = Field(default=None, description="with tax")
    tax_code: Given[TaxCode] = None
    plant: Given[Text] = None
    storage_location: Given[Text] = None
    external_shipping_address_id: Given[Text] = None
    external_billing_address_id: Given[Text] = None
    item_text: Given[Text] = None
    type: Given[Text] = None
    external_quote_id: Given[Text] = None
    quote_line_number: Given[Text] = None
    external_contract_id: Given[Text] = None


class _Members(Sent):
    """What a patch and a whole record have in common; null is refused on top by the one that has nothing to remove."""

    external_id: Key = Field(description="the key of the record, in one key space for all sales orders")
    external_client_id: Text | None = Field(default=None, description="client in the source system")
    document_id: DocumentId | None = None
    documents: list[DocumentRef] | None = None
    customer_order_number: Text | None = None
    sales_order_number: Text | None = None
    external_company_id: Text | None = None
    external_customer_id: Text | None = None
    sales_organization_code: Text | None = None
    distribution_channel: Text | None = None
    division: Text | None = None
    sales_group: Text | None = None
    sales_office: Text | None = None
    type: Text | None = None
    sub_type: Text | None = None
    issued_date: Day | None = None
    received_date: Day | None = None
    fiscal_year_label: Text | None = None
    requested_delivery_date: Day | None = None
    is_canceled: bool | None = None
    currency: CurrencyCode | None = None
    total_net_amount: Amount | None = Field(default=None, description="sum of the lines before tax")
    total_tax_amount: Amount | None = None
    total_gross_amount: Amount | None = Field(default=None, description="net plus tax")
    header_text: Text | None = None
    custom_metadata: Metadata | None = None
    sales_order_lines: list[EnrichmentLine] | None = None


class EnrichmentPatch(_Members):
    """A merge patch: null removes a member, lists are replaced (API: PATCH /enrichment/sales-orders/{externalId})."""

    payment_terms: PaymentTermsChange | None = None
    custom_fields: dict[str, Text | None] | None = Field(default=None, description="flat; null removes one")


class EnrichmentSalesOrder(_Members):
    """A whole record, created or overwritten (API: POST /enrichment/sales-orders)."""

    payment_terms: PaymentTerms | None = None
    custom_fields: dict[str, Text] | None = Field(default=None, description="flat; the values are text")

    @field_validator("*", mode="before")
    @classmethod
    def _null_only_for_currency(cls, value: object, info: ValidationInfo) -> object:
        # The list of currencies holds null as a word of its own; elsewhere there is nothing yet to remove.
        if value is None and info.field_name != "currency":
            raise PydanticCustomError("null", "null is not allowed; leave the field out")
        return value


class EnrichmentRecordLine(Read):
    """A line as Hypatos holds it (API: PATCH /enrichment/sales-orders/{externalId}, answer)."""

    planned_delivery_date: Maybe[LooseDay] = None
    order_line_number: Maybe[Text] = None
    quantity: Maybe[Amount] = None
    unit_price: Maybe[Amount] = None
    net_amount: Maybe[Amount] = None
    total_tax_amount: Maybe[Amount] = None
    gross_amount: Maybe[Amount] = None


class EnrichmentRecord(Read):
    """The record as Hypatos holds it; what is not named here is kept as it came (API: PATCH, answer)."""

    external_id: Maybe[Text] = None
    document_id: Maybe[Text] = None
    customer_order_number: Maybe[Text] = None
    sales_order_number: Maybe[Text] = None
    type: Maybe[Text] = None
    issued_date: Maybe[LooseDay] = None
    received_date: Maybe[LooseDay] = None
    requested_delivery_date: Maybe[LooseDay] = None
    is_canceled: Maybe[bool] = None
    currency: Maybe[str] = None
    total_net_amount: Maybe[Amount] = None
    total_tax_amount: Maybe[Amount] = None
    total_gross_amount: Maybe[Amount] = None
    custom_fields: Maybe[dict[str, Any]] = None
    custom_metadata: Maybe[dict[str, Any]] = None
    sales_order_lines: Maybe[list[EnrichmentRecordLine]] = None


class InsertedRecord(Read):
    """What an insert answers: the record's id inside Hypatos (API: POST /enrichment/sales-orders, answer)."""

    id: Maybe[Text] = None
