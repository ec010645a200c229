"""Which names of properties say that what they hold is private; written before the rules were."""

import pytest

from enrichment_pipeline.events.detail import detail_of
from enrichment_pipeline.events.privacy import mask
from enrichment_pipeline.events.private_names import is_private_name


def names(text: str) -> list[str]:
    return text.split()


PRIVATE = names(
    """
    pwd otp pin dob surname passport_number jwt account_number diagnosis password userPassword
    new-password password_confirmation passwd passphrase passcode PASSWORD pass user_pwd otp_code
    smsOtp totp pinCode card-pin mfa_code twoFactorCode verification_code security_code
    backup_codes recovery_phrase seed_phrase security_answer secret clientSecret client_secret_key
    secret_question access_token refreshToken id-token csrf_token xsrfToken bearer authorization
    auth_header oauth_token apiKey api_key x-api-key private_key sshKey encryption_key
    aws_secret_access_key credentials creds jwt_token JWT session session_id sessionId PHPSESSID
    session_token cookie cookies cookie_value set-cookie sid token device_token authCode auth card
    card_number cardNo creditCard credit_card_number debit_card cvv cvc2 csc card_expiry
    card_last4 pan cardholder card_holder_name iban IBAN bic bank_account account_no
    bankAccountNumber routing_number sortCode acct_number account_balance salary income net_worth
    credit_score taxId tax_number vat_id ssn ssn_last4 social_security_number nationalId
    national_id_number identity_card id_number drivers_license driver_licence_number license_plate
    nhs_number aadhaar cpf curp dni nif bsn pesel personnummer passport passportNo medicare_number
    insurance_number policyNumber first_name lastName full-name middle_name maiden_name given_name
    familyName forename fname lname firstname LASTNAME username user_name nickname display_name
    customerName patient_name contact_name recipient_name employee-name billing_name
    account_holder email e_mail E-Mail user_email emailAddress billing-email mail email_hash
    contact_email useremail phone phone_number telephone tel mobile mobileNumber cell_phone fax
    whatsapp msisdn home_phone address street street_name shippingAddress address_line_1
    addressLine2 billing_address postcode zip zip_code postal_code zipCode house_number
    home_address po_box ip ip_address clientIp remote-addr ipv4 mac_address lat lng longitude
    gps_coordinates geolocation latLng imei idfa gaid advertising_id device_id fingerprint
    date_of_birth birthDate birthday birth_year user_birthday age user_age place_of_birth gender
    sex religion ethnicity race sexual_orientation sexualOrientation political_party nationality
    marital_status medication medical_record_number blood_type bloodGroup symptoms allergies
    disability is_pregnant has_diabetes health_condition diagnosis_code icd10_code prescription
    hiv_status patient_id user_id customerId employee_id national-insurance-number
    mothersMaidenName signature wallet_address accountNumber accountnumber dateofbirth phonenumber
    userPin loginPassword masterPassword wifi_password dbPassword admin_pwd secretKey apiSecret
    access_code door_code invite_token magic_link_token reset_token sso_token bearer_token
    basic_auth authToken sessionCookie connect.sid card_cvv ccv cc_number ccNumber cc_num cardNum
    iban_number swift_code sin sin_number tin ein fiscal_code codice_fiscale steuer_id
    driving_licence drivingLicenseNumber voter_id visa_number passportNum birth_place birthplace
    yob year_of_birth bday mothers_name father_name spouse next_of_kin emergency_contact
    child_name initials personal_email work_phone phone_no mobile_no cellphone cell landline
    contact_number telegram_handle home_addr apartment_number apt_no flat_number city_of_birth
    geo_lat geo_lon precise_location ip_addr remote_ip x_forwarded_for mac udid serial_number
    android_id vin number_plate bmi heart_rate blood_pressure health_data mental_health
    sexual_preference sexuality faith caste veteran_status immigration_status political_views
    trade_union conviction annual_income household_income debt access_secret hmac_secret salt
    otp_secret one_time_password one_time_code captcha_token recaptcha_response login_token
    push_token fcm_token pwd_hash pwdhash userpwd mypassword ssnlast4 ssn4 dosage lab_result
    insurance_id member_number nationalinsurancenumber idcard id_card accessKey AccessKeyId
    secretAccessKey privatekey privKey pem webhook_secret cookieString session_hash userSurname
    SURNAME maidenName spouse_name dateOfBirth date-of-birth DOB user.dob birth_dt passportnumber
    passport_id driverLicense licenceNo tax_identification_number taxpayer_id accountNo bankAcc
    account_num sort-code cardpin cvvCode emailid email_id phoneNum phonenr tel_no handphone
    postCode streetaddress addressline1 userip ipAddress user_lat deviceId patientName patientDob
    medicalHistory drug_allergies hivStatus genderIdentity pronouns maritalStatus
    """
)

HARMLESS = names(
    """
    tokens_used is_mobile session_count cookie_consent total_tokens promptTokens completion-tokens
    max_tokens input_tokens token_count tokenLimit tokens_per_second token_type tokens_remaining
    has_password password_length passwordStrength password_reset password_changed
    forgot_password_clicked show_password password_visible pin_count pinned pinned_items is_pinned
    pinterest_share spinner session_duration sessionNumber session_length sessions sessions_today
    session_start_time session_type new_session is_new_session session_timeout cookies_enabled
    cookie_banner cookieBannerVariant cookies_accepted accept_cookies cookie_policy_version
    email_opened emailSent email_verified email_campaign emailTemplateId email_type email_count
    has_email email_opt_in email_subscribed newsletter_email_enabled mobile_app mobileVersion
    mobile_menu mobile_os mobile-view phone_model phoneVerified phone_type headphones microphone
    iphone_model smartphone has_phone card_type cardBrand card_count card_position card_clicked
    cards_shown dashboard scorecard card_index discard cardinality flashcard_deck wildcard
    gift_card_amount card_color card_layout address_type address_count addressVerified has_address
    address_changed street_view zip_size zip_file zipper zipped shipping ship_method tip
    tip_amount clip equipment recipe script_version ip_version is_ip_blocked platform latency
    latest flat translate plate_size template longest language author authored authority
    auth_method authProvider authenticated is_authenticated oauth_provider secretary
    secret_santa_enabled secrets_count username_length has_username username_changed name
    product_name plan_name campaign_name file_name event_name account_type accountTier account_age
    account_plan account_count page_age cache_age age_group_filter tax_rate tax_amount tax
    income_statement_viewed passed passing pass_count bypass passenger_count passage compass
    gender_filter_used race_condition raceway sex_filter_enabled embarked search_term quantity
    price total currency sku item plan step status result error reason variant product_id order_id
    order_number item_number cart_id page_number phone_number_verified pin_color map_pins
    pin_to_top mail_provider mailbox_size email_provider location section position page tab button
    screen_orientation orientation message_count comment_length condition treatment
    balance_check_clicked user_count users_online user_type user_plan user_role customer_type
    customer_segment signature_required is_signed birthday_campaign feature_flag experiment key
    shortcut_key hotkey keyboard monkey tokenized tokenizer session_quality license_type
    license_count device_type device_count fingerprint_enabled health_check health_status
    token_budget token_price cookie_count session_index session_goal session_replay_enabled
    session_recording is_session_active password_manager_detected password_policy
    password_rules_shown password_hint_shown email_client email_frequency email_domain
    email_list_size email_subject mobile_friendly mobile_breakpoint mobile_traffic_share
    is_mobile_web phone_brand phone_os phone_orientation phone_screen_size phone_case_color
    card_title card_size card_deck card_view card_style credit_card_type address_bar_visible
    address_book_size address_format street_style zip_count zip_enabled ip_count ip_blocklist_size
    auth_type auth_status auth_error auth_flow auth_required oauth_enabled sso_enabled mfa_enabled
    two_factor_enabled otp_length otp_sent pin_length pin_enabled name_length names_count
    first_name_length username_available birthday_reminder_set gender_filter diagnosis_page_viewed
    patient_count passport_required passport_type visa_required salary_filter_used account_created
    account_status tokenization_method csrf_enabled secret_count geo_enabled gps_enabled
    coordinates_count fingerprint_reader jwt_expired jwt_algorithm token_expired token_valid
    token_age token_source token_refresh_count cookie_size cookie_domain cookie_preferences
    cookie_wall_shown tokens_saved num_tokens avg_session_length session_depth session_pageviews
    sessions_per_user mobile_first desktop_or_mobile email_cta_clicked email_position pinning
    pinch_zoom passive authentic cookies_count recipes tokensUsed isMobile sessionCount
    cookieConsent tokens-used is-mobile session-count cookie-consent isMobileApp hasEmail
    emailCount addressCount cardCount card_number_of_items mobile_or_desktop on_mobile from_mobile
    mobile_only session_events session_clicks session_page_count session_seconds session_rank
    user_sessions monthly_sessions total_sessions active_sessions used_tokens output_tokens_count
    cached_tokens tokens_in tokens_out tokens_left token_usage token_cost tokens_cost
    cookie_choice cookie_settings cookie_notice cookies_allowed cookies_rejected email_length
    email_validated email_bounced email_delivered email_format_ok email_provider_type
    phone_country phone_prefix_shown address_country shipping_address_type zip_format zip_level
    password_score password_attempts password_age_days pass_rate pass_type passes_count
    secret_level secret_found secret_door_opened authorization_status auth_latency_ms oauth_app
    ip_family ip_type ip_allowlisted lat_ms latitude_enabled geo_country location_count
    birthdays_count card_network card_scheme card_row card_column cards_per_page
    discount_card_type postal_service street_count username_taken name_changed surname_required
    middleware mobility phonetic emailer streetlight zipline pinpoint otpimizer
    """
)

_WORD_OF_VALUE = "hunter2"


@pytest.mark.parametrize("name", PRIVATE)
def test_what_is_private_by_its_name_is_in_no_sentence(name: str) -> None:
    assert is_private_name(name)
    assert detail_of("signed up", {name: _WORD_OF_VALUE, "sku": 1}) == "sku=1"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_only_about_something_private_is_shown(name: str) -> None:
    assert not is_private_name(name)
    assert detail_of("used", {name: 7}) is not None


@pytest.mark.parametrize("name", ["pwd", "otp", "userPin", "date-of-birth", "passport.number"])
def test_what_a_private_name_says_is_masked_in_any_text(name: str) -> None:
    assert mask(f"signed in, {name}={_WORD_OF_VALUE}") == f"signed in, {name}=[token]"


@pytest.mark.parametrize("name", ["session_count", "isMobile", "sku", "tokens-used"])
def test_what_another_name_says_stays_in_a_text(name: str) -> None:
    assert mask(f"used, {name}=7") == f"used, {name}=7"
