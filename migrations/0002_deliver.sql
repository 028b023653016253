-- Delivery in two layers: deliver() finds each recipient's account by name,
-- deliver_to() writes one account's rows and touches nothing else.

create function mailrow_delivery.deliver_to(
    p_account bigint, p_mailboxes text[],
    p_raw bytea, p_line_ends text, p_header_size integer, p_parser smallint,
    p_sent_at timestamptz, p_sent_offset smallint,
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[],
    p_message_id text, p_in_reply_to text, p_references_ids text[],
    p_defects text[], p_field_starts integer[], p_field_values text[],
    p_source text, p_sender text, p_recipients text[], p_original_recipients text[], p_extensions text[],
    p_client_address inet, p_client_helo text, p_client_name text, p_client_protocol text,
    p_sasl_username text, p_queue_id text, p_received_at timestamptz, p_flags text[],
    p_envelope_defects text[], p_identity bytea,
    out ids bigint[], out outcomes text[]
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_sha256  constant bytea := sha256(p_raw);
    v_message bigint;
    v_mailbox bigint;
    v_id      bigint;
    v_again   integer;
begin
    <<recipient>>
    for i in 1 .. cardinality(p_recipients) loop
        select b.mailbox_id into v_mailbox from mailrow.mailboxes b
        where b.account_id = p_account and b.name = p_mailboxes[i];
        if not found then
            insert into mailrow.mailboxes (account_id, name) values (p_account, p_mailboxes[i])
            on conflict on constraint mailboxes_name_key do nothing;
            select b.mailbox_id into strict v_mailbox from mailrow.mailboxes b
            where b.account_id = p_account and b.name = p_mailboxes[i];
        end if;

        -- Bytes that differ from attempt to attempt cannot tell a second
        -- attempt by themselves; their identity can.
        if p_identity is not null then
            update mailrow.deliveries d set redelivered = d.redelivered + 1
            from mailrow.identities k
            where k.account_id = p_account and k.mailbox = v_mailbox
              and k.recipient = p_recipients[i] and k.identity = p_identity
              and d.account_id = k.account_id and d.id = k.delivery
            returning d.id into v_id;
            if found then
                ids := ids || v_id;
                outcomes := outcomes || text 'redelivered';
                continue recipient;
            end if;
        end if;

        if v_message is null then
            loop
                insert into mailrow.messages (
                    account_id, sha256, size, line_ends, header_size, parser, sent_at, sent_offset,
                    subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to,
                    message_id, in_reply_to, references_ids, defects, field_starts, field_values, raw)
                values (
                    p_account, v_sha256, length(p_raw), p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
                    p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
                    p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values, p_raw)
                on conflict on constraint messages_sha256_key do nothing
                returning id into v_message;
                exit when found;
                -- The lock keeps delete_mail() from removing it under us.
                select m.id into v_message from mailrow.messages m
                where m.account_id = p_account and m.sha256 = v_sha256 for key share;
                exit when found;
            end loop;
        end if;

        insert into mailrow.deliveries as d (
            account_id, message, mailbox, received_at, source, sender, recipient, original_recipient, extension,
            client_address, client_helo, client_name, client_protocol, sasl_username, queue_id,
            flags, defects)
        values (
            p_account, v_message, v_mailbox, coalesce(p_received_at, now()), p_source, p_sender, p_recipients[i],
            p_original_recipients[i], p_extensions[i],
            p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
            coalesce(p_flags, '{}'), p_envelope_defects)
        on conflict on constraint deliveries_arrival_key do update set redelivered = d.redelivered + 1
        returning d.id, d.redelivered into v_id, v_again;
        if p_identity is not null then
            -- Of two attempts at once, the second fails here and comes again.
            insert into mailrow.identities (account_id, mailbox, recipient, identity, delivery)
            values (p_account, v_mailbox, p_recipients[i], p_identity, v_id);
        end if;
        ids := ids || v_id;
        outcomes := outcomes || case when v_again = 0 then text 'stored' else 'redelivered' end;
    end loop;
end $$;
comment on function mailrow_delivery.deliver_to is
    'Stores one mail for recipients of one account: the message once, a delivery row each. Called by deliver().';

create function mailrow_delivery.deliver(
    p_schema integer, p_reject_unknown boolean,
    p_account text, p_mailbox text, p_extension_mailbox boolean,
    p_addresses text[], p_wildcards text[], p_bases text[],
    p_line_ends text, p_header_size integer, p_parser smallint,
    p_sent_at timestamptz, p_sent_offset smallint,
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[],
    p_message_id text, p_in_reply_to text, p_references_ids text[],
    p_defects text[], p_field_starts integer[], p_field_values text[],
    p_source text, p_sender text, p_recipients text[], p_original_recipients text[], p_extensions text[],
    p_client_address inet, p_client_helo text, p_client_name text, p_client_protocol text,
    p_sasl_username text, p_queue_id text, p_received_at timestamptz, p_flags text[],
    p_envelope_defects text[], p_identity bytea, p_raw bytea,
    out ids bigint[], out outcomes text[]
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_accounts  bigint[] := '{}';
    v_mailboxes text[] := '{}';
    v_account   bigint;
    v_name      text;
    v_route     text;
    v_mailbox   text;
    v_of        integer[];
    v_done      record;
begin
    if p_schema <> 1 then
        raise exception 'mailrow: this program wants schema version %, the database has %', p_schema, 1
            using errcode = 'MR001', hint = 'Run mailrow migrate, or install the mailrow-deliver of this version.';
    end if;
    -- Whoever hears "stored" deletes the mail: no commit may be lost in a crash.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;

    for i in 1 .. cardinality(p_recipients) loop
        v_route := null; v_mailbox := null;
        if p_account is null then
            select r.account, replace(r.mailbox, '*', lower(coalesce(p_extensions[i], ''))) into v_route, v_mailbox
            from mailrow.routes r
            where r.pattern in (p_addresses[i], p_wildcards[i], p_bases[i], substring(p_bases[i] from '@[^@]*$'), '*')
            order by case r.pattern when p_addresses[i] then 1 when p_wildcards[i] then 2 when p_bases[i] then 3
                                    when '*' then 5 else 4 end
            limit 1;
        end if;
        v_name := coalesce(p_account, v_route, p_bases[i]);
        select a.account_id into v_account from mailrow.accounts a where a.name = v_name;
        if not found and not (p_reject_unknown and v_route is null) then
            insert into mailrow.accounts (name) values (v_name) on conflict on constraint accounts_name_key do nothing
            returning account_id into v_account;
            if found then
                insert into mailrow.mailboxes (account_id, mailbox_id, name) values (v_account, 0, 'INBOX');
            else
                select a.account_id into strict v_account from mailrow.accounts a where a.name = v_name;
            end if;
        end if;
        v_accounts := v_accounts || v_account;
        v_mailbox := coalesce(
            case when p_extension_mailbox then lower(nullif(p_extensions[i], '')) end,
            p_mailbox, nullif(v_mailbox, ''), 'INBOX');
        v_mailboxes := v_mailboxes || case lower(v_mailbox) when 'inbox' then 'INBOX' else v_mailbox end;
        if v_account is null then
            outcomes[i] := 'unknown';
            ids[i] := null;
        end if;
    end loop;

    if cardinality(p_recipients) = 1 then
        if v_account is not null then
            select d.ids, d.outcomes into ids, outcomes from mailrow_delivery.deliver_to(
                v_account, v_mailboxes,
                p_raw, p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
                p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
                p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values,
                p_source, p_sender, p_recipients, p_original_recipients, p_extensions,
                p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
                p_received_at, p_flags, p_envelope_defects, p_identity) d;
        end if;
        return;
    end if;

    -- In order of account, so that two deliveries of one mail cannot deadlock.
    for v_account in select distinct a from unnest(v_accounts) a where a is not null order by a loop
        v_of := array_positions(v_accounts, v_account);
        select * into v_done from mailrow_delivery.deliver_to(
            v_account, (select array_agg(v_mailboxes[n]) from unnest(v_of) n),
            p_raw, p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
            p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
            p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values,
            p_source, p_sender, (select array_agg(p_recipients[n]) from unnest(v_of) n),
            (select array_agg(p_original_recipients[n]) from unnest(v_of) n),
            (select array_agg(p_extensions[n]) from unnest(v_of) n),
            p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
            p_received_at, p_flags, p_envelope_defects, p_identity);
        for j in 1 .. cardinality(v_of) loop
            ids[v_of[j]] := v_done.ids[j];
            outcomes[v_of[j]] := v_done.outcomes[j];
        end loop;
    end loop;
end $$;
comment on function mailrow_delivery.deliver is
    'Stores one mail for all its recipients in one transaction. Per recipient: the id of its row in view mail, and stored, redelivered (was there already) or unknown (refused, nothing stored for it).';

create function mailrow_delivery.deliver_one(
    p_schema integer,
    p_account text, p_mailbox text, p_extension_mailbox boolean,
    p_address text, p_wildcard text, p_base text,
    p_line_ends text, p_header_size integer, p_parser smallint,
    p_sent_at timestamptz, p_sent_offset smallint,
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[],
    p_message_id text, p_in_reply_to text, p_references_ids text[],
    p_defects text[], p_field_starts integer[], p_field_values text[],
    p_source text, p_sender text, p_recipient text, p_original_recipient text, p_extension text,
    p_client_address inet, p_client_helo text, p_client_name text, p_client_protocol text,
    p_sasl_username text, p_queue_id text, p_received_at timestamptz, p_flags text[],
    p_envelope_defects text[], p_raw bytea
) returns bigint
language sql security definer begin atomic
    select set_config('synchronous_commit', 'local', true) where current_setting('synchronous_commit') = 'off';

    with route as (
        select r.account, replace(r.mailbox, '*', lower(coalesce(p_extension, ''))) as mailbox from mailrow.routes r
        where p_account is null and r.pattern in (p_address, p_wildcard, p_base, substring(p_base from '@[^@]*$'), '*')
        order by case r.pattern when p_address then 1 when p_wildcard then 2 when p_base then 3 when '*' then 5 else 4 end
        limit 1
    ), place as (
        select a.account_id from mailrow.accounts a
        where p_schema = 1 and a.name = coalesce(p_account, (select account from route), p_base)
          and lower(coalesce(case when p_extension_mailbox then lower(nullif(p_extension, '')) end,
                             p_mailbox, nullif((select mailbox from route), ''), 'INBOX')) = 'inbox'
    ), message as (
        insert into mailrow.messages (
                        account_id, sha256, size, line_ends, header_size, parser, sent_at, sent_offset,
                        subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to,
                        message_id, in_reply_to, references_ids, defects, field_starts, field_values, raw)
        select account_id, sha256(p_raw), length(p_raw), p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
                        p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
                        p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values, p_raw
        from place
        on conflict on constraint messages_sha256_key do nothing
        returning account_id, id
    )
    insert into mailrow.deliveries (
                account_id, message, mailbox, received_at, source, sender, recipient, original_recipient, extension,
                client_address, client_helo, client_name, client_protocol, sasl_username, queue_id,
                flags, defects)
    select message.account_id, message.id, 0, coalesce(p_received_at, now()), p_source, p_sender, p_recipient,
                p_original_recipient, p_extension,
                p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
                coalesce(p_flags, '{}'), p_envelope_defects
    from message
    returning id;
end;
comment on function mailrow_delivery.deliver_one is
    'The common case in one statement, for a connection that delivers once: one recipient with an account, its INBOX, content that is new. Its names were resolved when it was made, so it needs no search_path. Returns NULL, having done nothing, in every other case: then deliver() is to be called.';
