-- Every right of every role. Idempotent: it runs after each migration, and by
-- itself after a node was added, since not every right reaches new nodes.
--
--   mailrow_owner    owns everything; nobody logs in as it
--   mailrow_deliver  may call the delivery functions, and nothing else
--   mailrow_reader   may query the views, and sees the accounts granted to it

grant usage on schema mailrow_delivery to mailrow_deliver;
revoke all on all functions in schema mailrow_delivery from public;
grant execute on function mailrow_delivery.deliver, mailrow_delivery.deliver_one to mailrow_deliver;

grant usage on schema mailrow to mailrow_reader;
revoke all on all functions in schema mailrow from public;
grant execute on function mailrow.header_fields, mailrow.raw to mailrow_reader;
grant select on mailrow.mail, mailrow.headers, mailrow.contents to mailrow_reader;

alter table mailrow.accounts enable row level security;
alter table mailrow.mailboxes enable row level security;
alter table mailrow.messages enable row level security;
alter table mailrow.deliveries enable row level security;

do $$
declare
    v_table text;
begin
    if current_setting('server_version_num')::integer >= 150000 then
        alter view mailrow.mail set (security_invoker = true);
        alter view mailrow.headers set (security_invoker = true);
        alter view mailrow.contents set (security_invoker = true);
        -- A view that runs as its reader needs the reader's right to the tables
        -- below it; row-level security filters those just the same.
        grant select on mailrow.accounts, mailrow.mailboxes, mailrow.messages, mailrow.deliveries to mailrow_reader;
    else
        foreach v_table in array array['accounts', 'mailboxes', 'messages', 'deliveries'] loop
            execute format('alter table mailrow.%I force row level security', v_table);
            execute format('drop policy if exists owner on mailrow.%I', v_table);
            execute format('create policy owner on mailrow.%I to mailrow_owner
                using (pg_has_role(current_user, ''mailrow_owner'', ''usage''))
                with check (pg_has_role(current_user, ''mailrow_owner'', ''usage''))', v_table);
        end loop;
    end if;
end $$;

select mailrow.apply_grants(role_name) from (select distinct role_name from mailrow.grants) g
where exists (select from pg_roles r where r.rolname = g.role_name);
