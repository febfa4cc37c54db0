SELECT current_setting('port')
