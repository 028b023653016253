-- Every right of every role. Idempotent: it runs after each migration, and by
-- itself after a node was added, since not every right reaches new nodes.
--
--   mailrow_owner    owns everything; nobody logs in as it
--   mailrow_deliver  may call the delivery functions, and nothing else
--   mailrow_reader   may query the views, and sees the accounts granted to it
--   mailrow_poller   may deliver, read the sources and keep what is known of their mail

grant usage on schema mailrow_delivery to mailrow_deliver;
revoke all on all functions in schema mailrow_delivery from public;
grant execute on function mailrow_delivery.deliver, mailrow_delivery.deliver_one, mailrow_delivery.deliver_next,
    mailrow_delivery.note_dsn, mailrow_delivery.note_identities, mailrow_delivery.deliver_all to mailrow_deliver;

grant usage on schema mailrow_delivery, mailrow_polling, mailrow to mailrow_poller;
revoke all on all functions in schema mailrow_polling from public;
grant execute on function mailrow_delivery.deliver, mailrow_delivery.deliver_one, mailrow_delivery.deliver_next,
    mailrow_delivery.deliver_all to mailrow_poller;
grant execute on all functions in schema mailrow_polling to mailrow_poller;
grant select on mailrow.sources, mailrow.source_folders, mailrow.source_messages, mailrow.source_runs, mailrow.source_status,
    mailrow.source_alarms, mailrow.alarms to mailrow_poller;

grant usage on schema mailrow to mailrow_reader;
revoke all on all functions in schema mailrow from public;
grant execute on function
    mailrow.header_fields, mailrow.field_starts, mailrow.undo_quoted_printable, mailrow.undo_encoding, mailrow.read_pieces, mailrow.read_ranges,
    mailrow.wrap_base64, mailrow.put_back, mailrow.place_in_raw, mailrow.whole, mailrow.part_content, mailrow.safe_filename,
    mailrow.raw, mailrow.part, mailrow.attachment_contents, mailrow.header, mailrow.thread, mailrow.newest,
    mailrow.search, mailrow.search_with, mailrow.my_alarms, mailrow.alarms_with to mailrow_reader;
grant select on mailrow.search_keys to mailrow_reader;  -- each its own row

grant execute on function
    mailrow.claim, mailrow.ack, mailrow.ack_all, mailrow.nack, mailrow.extend, mailrow.release, mailrow.revive,
    mailrow.consumer, mailrow.drop_consumer, mailrow.listen, mailrow.wait_for, mailrow.my_keys,
    mailrow.claim_with, mailrow.settle, mailrow.consumer_with, mailrow.drop_consumer_with, mailrow.listen_with,
    mailrow.list_consumers, mailrow.list_dead_letters, mailrow.insist_on_read_committed(text) to mailrow_reader;
grant select, insert (role_name) on mailrow.queue_keys to mailrow_reader;  -- each its own row

do $$
declare
    v_name text;
begin
    foreach v_name in array mailrow.tables_of_mail() loop
        execute format('alter table mailrow.%I enable row level security', v_name);
        if current_setting('server_version_num')::integer >= 150000 then
            -- A view that runs as its reader needs the reader's right to the tables
            -- below it; row-level security filters those just the same.
            execute format('grant select on mailrow.%I to mailrow_reader', v_name);
        else
            execute format('alter table mailrow.%I force row level security', v_name);
            execute format('drop policy if exists owner on mailrow.%I', v_name);
            execute format('create policy owner on mailrow.%I to mailrow_owner
                using (pg_has_role(current_user, ''mailrow_owner'', ''usage''))
                with check (pg_has_role(current_user, ''mailrow_owner'', ''usage''))', v_name);
        end if;
    end loop;
    for v_name in select viewname from pg_views where schemaname = 'mailrow' loop
        if v_name not in ('source_status', 'alarms') then
            execute format('grant select on mailrow.%I to mailrow_reader', v_name);
        end if;
        if current_setting('server_version_num')::integer >= 150000 then
            execute format('alter view mailrow.%I set (security_invoker = true)', v_name);
        end if;
    end loop;
end $$;

select mailrow.apply_grants(role_name) from (select distinct role_name from mailrow.grants) g
where exists (select from pg_roles r where r.rolname = g.role_name);
